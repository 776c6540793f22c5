"""The filter: rules are declared (`policies`), compiled into one plan (`plan`), and executed (`kernels`)."""
