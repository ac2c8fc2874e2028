"""What a model or an outside agent gets to work on a run with; never needed to diagnose one."""
