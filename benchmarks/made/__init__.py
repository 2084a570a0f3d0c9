"""What benchmarks are fed with where real data of that size is not available."""
