"""Everything that ends in a `Measurement`: of arrays, kernels, networks and layers."""
