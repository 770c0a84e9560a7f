"""Carries out the pool's plans: brings instances up and ends them, each in a task of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.backends.base import Launch, launching
from core.errors import BackendUnavailableError, ContainerStartFailedError, InitFailedError, LambdaRuntimeError
from core.events import InstanceLogged, InstancePhaseChanged, InstanceUpdated, Trouble
from core.instances import InstanceState, Phase, WarmInstance
from core.pool import Plan

if TYPE_CHECKING:
    from core.backends.base import LambdaBackend
    from core.catalogue import Catalogue, Deploy
    from core.home import Home
    from core.instances import Instance, InstanceExit
    from core.logbook import LogBook
    from core.pool import WarmPool

__all__ = ["Launcher"]

_log = logging.getLogger(__name__)


class Launcher:
    """Starts one task for every instance that a plan brings up or ends, and holds it."""

    def __init__(self, home: Home, backends: Mapping[str, LambdaBackend], deploys: Catalogue, logs: LogBook) -> None:
        self._journal = home.journal
        self._events = home.events
        self._publish = home.events.publish
        self._owner_id = home.owner_id
        self._init_timeout = home.settings.init_timeout
        self._backends = backends
        self._deploys = deploys
        self._logs = logs
        self._pool: WarmPool | None = None
        self._starts: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Task[None]] = {}

    def attach(self, pool: WarmPool) -> None:
        """The pool that is told how launches and ends went."""
        self._pool = pool

    def carry_out(self, plan: Plan) -> None:
        """Start what the plan asks for. Returns at once."""
        for instance in plan.launch:
            self._starts[instance.id] = self._task(
                f"launch {instance.id}", self._bring_up(instance), self._starts, instance
            )
        for instance, force in plan.terminate:
            start = self._starts.get(instance.id)
            if start is not None:
                start.cancel()
            elif instance.id not in self._ends:
                self._ends[instance.id] = self._task(
                    f"end {instance.id}", self._end(instance, force), self._ends, instance
                )
            elif force and instance.id + "!" not in self._ends:
                # politeness is under way already: the hard end runs beside it
                self._ends[instance.id + "!"] = self._task(
                    f"kill {instance.id}", self._end(instance, True), self._ends, instance
                )

    async def settled(self) -> None:
        """Wait until nothing is being brought up or ended."""
        while rest := [*self._starts.values(), *self._ends.values()]:
            await asyncio.wait(rest)

    def _task(
        self,
        name: str,
        work: Coroutine[Any, Any, None],
        group: dict[str, asyncio.Task[None]],
        instance: Instance,
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)

        def done(task: asyncio.Task[None]) -> None:
            for key in [key for key, value in group.items() if value is task]:
                del group[key]
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.error("%s", name, exc_info=error)
                self._publish(Trouble(about=instance.id, message=f"{name}: {error}"))
            if group is self._ends or instance.id not in self._ends:
                # whatever happened to the task, the pool must not wait for it
                self._the_pool.gone(instance)

        task.add_done_callback(done)
        return task

    @property
    def _the_pool(self) -> WarmPool:
        assert self._pool is not None, "attach() comes before the first plan"
        return self._pool

    async def _bring_up(self, instance: Instance) -> None:
        deploy = self._deploys.find(instance.function_name)
        try:
            if deploy is None or deploy.deploy_id != instance.deploy_id:
                raise ContainerStartFailedError(instance.function_name, "its deploy was replaced meanwhile")
            if deploy.missing is not None:
                raise deploy.missing
            self._phase(instance, "prepare")
            await self._deploys.mend(deploy)
            # written before anything is created, so that every crash point is recoverable
            await self._journal.put_instance(
                instance.id, self._owner_id, instance.function_name, instance.backend, instance.deploy_id
            )
            warm = await self._launch(instance, deploy)
        except asyncio.CancelledError:
            self._end_phase(instance)
            self._journal.end_instance(instance.id, "cancelled while it started", None)
            self._logs.end(instance.id)
            raise
        except LambdaRuntimeError as error:
            self._failed(instance, error)
        except Exception as error:
            _log.exception("launching %s", instance.id)
            self._failed(
                instance, ContainerStartFailedError(instance.function_name, f"{type(error).__name__}: {error}")
            )
        else:
            self._end_phase(instance)
            # the start is over: whatever the pool decides from here on, there is a process to end
            # and no task to cancel
            self._starts.pop(instance.id, None)
            if instance.state is InstanceState.STARTING:
                self._the_pool.launched(instance, warm)
            else:
                # its end was asked for in the moment in which it came up
                instance.warm = warm
                self.carry_out(Plan(terminate=[(instance, False)]))

    async def _launch(self, instance: Instance, deploy: Deploy) -> WarmInstance:
        """Lambda gives init ten seconds, then once more the function's own timeout.

        Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
        """
        backend = self._backends.get(instance.backend)
        if backend is None:
            raise BackendUnavailableError(instance.backend, "there is no backend of this name")
        function = deploy.function
        for timeout, last in ((self._init_timeout, False), (float(function.timeout), True)):
            with launching(self._describe(instance, timeout)):
                try:
                    return await backend.launch(function, deploy.code, deploy.layers, deploy.deploy_id)
                except InitFailedError as error:
                    if not error.timed_out or last:
                        raise
                    self._note(instance, "init", f"took longer than {timeout:g} s; started once more")
        raise AssertionError("unreachable")

    def _describe(self, instance: Instance, timeout: float) -> Launch:
        return Launch(
            instance_id=instance.id,
            owner_id=self._owner_id,
            init_timeout=timeout,
            phase=lambda name: self._phase(instance, name),
            log=lambda lines: self._logged(instance, lines),
            exited=lambda exit_: self._exited(instance, exit_),
            note=lambda key, text: self._note(instance, key, text),
        )

    def _failed(self, instance: Instance, error: LambdaRuntimeError) -> None:
        self._end_phase(instance)
        self._journal.end_instance(instance.id, str(error), None)
        self._logs.end(instance.id)
        self._the_pool.launch_failed(instance, error)

    async def _end(self, instance: Instance, force: bool) -> None:
        if instance.warm is None:
            return
        backend = self._backends[instance.backend]
        handle = instance.warm.handle
        await (backend.kill(handle) if force else backend.terminate(handle))
        self._journal.end_instance(instance.id, instance.reason, None)
        self._logs.end(instance.id)
        self._the_pool.gone(instance)

    # --- what an instance reports while it lives

    def _exited(self, instance: Instance, exit_: InstanceExit) -> None:
        self._journal.end_instance(instance.id, exit_.reason, exit_.code)
        self._logs.end(instance.id)
        self._the_pool.exited(instance, exit_)

    def _logged(self, instance: Instance, lines: Sequence[str]) -> None:
        self._logs.add(instance.id, lines)
        if instance.state.final:
            # what it had written before its end
            self._logs.end(instance.id)
        if self._events.wants(InstanceLogged):
            self._publish(
                InstanceLogged(instance_id=instance.id, function_name=instance.function_name, lines=tuple(lines))
            )

    def _note(self, instance: Instance, key: str, text: str) -> None:
        instance.notes[key] = text
        self._publish(InstanceUpdated(instance=instance.snapshot()))

    def _phase(self, instance: Instance, name: str) -> None:
        self._end_phase(instance)
        phase = Phase(name, time.monotonic())
        instance.phases.append(phase)
        self._publish(InstancePhaseChanged(instance_id=instance.id, function_name=instance.function_name, phase=phase))

    def _end_phase(self, instance: Instance) -> None:
        if instance.phases and instance.phases[-1].seconds is None:
            last = instance.phases[-1]
            ended = Phase(last.name, last.started, time.monotonic() - last.started)
            instance.phases[-1] = ended
            self._publish(
                InstancePhaseChanged(instance_id=instance.id, function_name=instance.function_name, phase=ended)
            )
