"""Named settings and the paper's table of tasks, as TOML files beside this one."""
