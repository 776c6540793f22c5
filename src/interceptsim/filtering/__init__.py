"""The filter: rules are declared (`policies`, `outside`), compiled (`plan`), executed (`kernels`)."""
