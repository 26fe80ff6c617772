"""The only door to BLAS and LAPACK: products, eigensystems, Krylov spaces; knows nothing of features."""
