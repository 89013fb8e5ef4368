# What a product with an activation shares: the code of its name; ValueError for another.
cdef int activation_code(object activation, const char *op) except -1
