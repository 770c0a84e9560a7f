"""Stoker's core: functions, the warm pool, the Lambda Runtime API and the facade over them.

Everything here runs on plain asyncio and never imports Qt; start at `core.runtime.LambdaRuntime`.
"""
