from typing import final

@final
class Block: ...
