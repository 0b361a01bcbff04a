"""Networks as self-contained C: read, fused, planned and written out beside the kernels that run them."""
