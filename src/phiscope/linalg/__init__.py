"""The only door to BLAS and LAPACK: products, eigensystems, Krylov spaces; knows nothing of features.

::

    lapack.py     the routines themselves, called so that other threads go on; products in place
    positive.py   equations with a symmetric positive definite matrix, by its Cholesky factor
    dense.py      factorizations and norms of small or thin matrices, for whoever is not in this package
    products.py   products, symmetric matrices, sums by group: only SciPy's BLAS threads ever wake
    operators.py  symmetric positive operators, held in the form that costs least
    eigen.py      all eigenvalues at once, eigenvectors when they are read; of a matrix, or from few rows
    singular.py   singular values and vectors of a dense matrix
    rank_one.py   the eigensystem of D + z z^T: raw and centered spectrum share one diagonalization
    krylov.py     the leading eigenpairs of an operator known only by its products
    ritz.py       Rayleigh-Ritz on a growing space, and probes that tell what the space misses
"""
