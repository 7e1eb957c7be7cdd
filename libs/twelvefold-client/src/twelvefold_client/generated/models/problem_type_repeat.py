from enum import StrEnum


class ProblemTypeRepeat(StrEnum):
    IF_SAFE = "if_safe"
    NO = "no"
    YES = "yes"

    def __str__(self) -> str:
        return str(self.value)
