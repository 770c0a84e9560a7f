"""What Stoker ships beside its code: icons, theme, runtime bootstraps, sample functions and events."""
