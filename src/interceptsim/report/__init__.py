"""What people look at: charts of runs, comparisons and sweeps, and the page that holds them."""
