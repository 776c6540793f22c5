"""Who calls: hubs and line groups (`model`), the table of lines (`population`), their attempts (`kernels`)."""
