"""Data to study: bundled, drawn, or read from files.

::

    bundled.py        scikit-learn's sets and the addition table, cut into train and test by seed
    regression.py     regression sets by name, standardized by the training split
    arithmetic.py     tables of modular arithmetic, computed exactly
    images.py         image sets by name, standardized by the training split
    glyphs.py         a generated image set: characters turned, bent, cluttered and covered with noise
    glyph_shapes.py   characters as bitmaps, from matplotlib's fonts
    image_files.py    MNIST and CIFAR from the files they are published in
    fashion_mnist.py  Fashion-MNIST where its package puts it
    hf_folder.py      images in a folder written by Hugging Face ``datasets``
    pixels.py         pictures as bytes, what all image readers hand over
"""
