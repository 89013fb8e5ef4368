"""The compiled kernels and their entry modules. Import them through `odyssey` itself."""
