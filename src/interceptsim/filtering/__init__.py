"""The filter: rules are declared (`policies`, `outside`, `registry`), compiled (`plan`), executed (`kernels`)."""
