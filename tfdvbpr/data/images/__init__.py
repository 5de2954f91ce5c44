"""Image files and pixels: `decoding` to one size, `storage` in a prepared dataset or a cache, `augmentation`."""
