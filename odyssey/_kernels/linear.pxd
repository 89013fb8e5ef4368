# What products share: activations, and how weights may be stored.
from numpy cimport ndarray

# The code of an activation's name; ValueError for another.
cdef int activation_code(object activation, const char *op) except -1
# ODY_BF16_ROWS or ODY_F16_ROWS for numbers of 16 bits in the machine's byte order; ODY_STRIDED for all else.
cdef int narrow_format(ndarray weight)
# The enum ody_format of a PackedWeight.
cdef int packed_format(object weight) except -1
# DTypeError unless narrow or packed weights go with arrays of this type.
cdef int check_stored(object weight, str dtype, int type_num, const char *op) except -1
# An (out, in) array of 16-bit numbers itself where each row's are adjacent and aligned, else a copy of which that holds.
cdef ndarray adjacent_rows(ndarray weight)
cdef bint in_elements(ndarray x) noexcept
