"""Cuts the text of a configuration into items: keys, values, and where maps and arrays begin and end.

Theory of operation: a state is a function that reads something and returns the state that follows; None ends it all. What is to
follow a value, an include or a comment lies on a stack. The states are nats-server's, and so are the oddities: ``{ /a: 1 }`` is the
key "a", a lone slash after a value counts for nothing, a NUL is the end of the text. Each byte is looked at a bounded number of
times, and the stack is as deep as the maps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from midge.server.config.scalars import UNTIL, bare, block, comment_then, include_start, negative_start, number, quoted, quoted_word, raw
from midge.server.config.scanner import END, Item, Kind, Scanner, State, is_digit, is_space, shown

__all__ = ["lex"]

# What may be jumped over at once; never a newline, which has to be counted.
_OF_KEY = re.compile(r"[^\t\n\v\f\r =:\0\x80-\xff]+")
SPACES = re.compile(r"[ \t\r]+")
BLANKS = re.compile(r"[ \t]+")


def lex(data: bytes) -> Iterator[Item]:
    """Yield the items; the last is of the kind END.

    Raises:
        ConfigError: when it comes to what is not in order.
    """
    lexer = Scanner(data.decode("latin-1"), bare)
    state: State | None = top
    while state is not None:
        state = state(lexer)
        if lexer.found:
            yield from lexer.found
            lexer.found.clear()


# Outside of all maps, and in maps that have no key


def top(lexer: Scanner) -> State | None:
    return _statement(lexer, top, top_value_end)


def block_start(lexer: Scanner) -> State | None:
    return _statement(lexer, block_start, block_value_end)


def _statement(lexer: Scanner, here: State, after: State) -> State | None:
    character = lexer.read()
    if is_space(character):
        lexer.jump(SPACES)
        return lexer.skip(here)
    in_block = here == block_start
    if character == "{":
        lexer.stack.append(block_end if in_block else here)
        return lexer.skip(block_start)
    if in_block and character == "}":
        lexer.ignore()
        return lexer.stack.pop()
    if lexer.begins_comment(character):
        return comment_then(lexer, here)
    if character in ("/", END):
        lexer.end()
        return None
    lexer.back()
    lexer.stack.append(after)
    return key_start


def top_value_end(lexer: Scanner) -> State:
    character = lexer.read()
    if lexer.begins_comment(character):
        return comment_then(lexer, top)
    if character in "/\t ":
        lexer.jump(BLANKS)
        return top_value_end
    if character in "\n\r\0;,}":
        return lexer.skip(top)
    raise lexer.error(f"Expected a top-level value to end with a new line, comment or EOF, but got '{shown(character)}' instead.")


def block_value_end(lexer: Scanner) -> State:
    character = lexer.read()
    if lexer.begins_comment(character):
        return comment_then(lexer, block_value_end)
    if character in "/\t ":
        return block_value_end
    if character in "\n\r;,":
        return lexer.skip(block_start)
    if character == "}":
        lexer.back()
        return block_end
    raise lexer.error(f"Expected a block-level value to end with a new line, comment or EOF, but got '{shown(character)}' instead.")


def block_end(lexer: Scanner) -> State:
    character = lexer.read()
    if lexer.begins_comment(character):
        return comment_then(lexer, block_start)
    if character in "/\n\r\t ":
        return block_end
    if character in ";,":
        return lexer.skip(block_start)
    if character == "}":
        lexer.ignore()
        return lexer.stack.pop()
    raise lexer.error(f"Expected a block-level to end with a '}}', but got '{shown(character)}' instead.")


# Keys outside of maps


def key_start(lexer: Scanner) -> State:
    character = lexer.peek()
    if character in "=:":
        raise lexer.error(f"Unexpected key separator '{character}'")
    if is_space(character):
        lexer.read()
        return lexer.skip(key_start)
    if character in "\"'":
        lexer.read()
        lexer.ignore()
        return quoted_key if character == "'" else double_quoted_key
    lexer.ignore()
    lexer.read()
    return key


def double_quoted_key(lexer: Scanner) -> State | None:
    return _quoted_key(lexer, '"', double_quoted_key)


def quoted_key(lexer: Scanner) -> State | None:
    return _quoted_key(lexer, "'", quoted_key)


def _quoted_key(lexer: Scanner, quote: str, here: State) -> State | None:
    lexer.jump(UNTIL[quote])
    character = lexer.peek()
    if character == quote:
        lexer.emit(Kind.KEY)
        lexer.read()
        return lexer.skip(key_end)
    if character == END:
        lexer.end()
        return None
    lexer.read()
    return here


def key(lexer: Scanner) -> State:
    lexer.jump(_OF_KEY)
    character = lexer.peek()
    if is_space(character):
        return _word(lexer, key_end)
    if character in "=:\0":
        lexer.emit(Kind.KEY)
        return key_end
    lexer.read()
    return key


def _word(lexer: Scanner, after: State, in_map: State | None = None) -> State:
    """What was read is a key, unless it is "include"."""
    if lexer.text[lexer.start : lexer.at].lower() != "include":
        lexer.emit(Kind.KEY)
        return after
    lexer.ignore()
    if in_map is not None:
        lexer.stack.append(in_map)
    return include_start


def key_end(lexer: Scanner) -> State | None:
    character = lexer.read()
    if is_space(character):
        lexer.jump(SPACES)
        return lexer.skip(key_end)
    if character in "=:":
        return lexer.skip(value)
    if character == END:
        lexer.emit(Kind.END)
        return None
    lexer.back()
    return value


# Values


def value(lexer: Scanner) -> State:
    character = lexer.read()
    if character in "\t ":
        lexer.jump(BLANKS)
        return lexer.skip(value)
    plain: State | None = {"'": raw, '"': quoted, "(": block}.get(character)
    if plain is not None:
        lexer.ignore()
        lexer.string_state = plain
        return plain
    if character == "[":
        lexer.ignore()
        lexer.emit(Kind.ARRAY)
        return array_value
    if character == "{":
        lexer.ignore()
        lexer.emit(Kind.MAP)
        return map_key_start
    if character == "-":
        return negative_start
    if is_digit(character):
        return number
    if character == ".":
        raise lexer.error("Floats must start with a digit")
    if character in "\n\r":
        raise lexer.error("Expected value but found new line")
    lexer.back()
    lexer.string_state = bare
    return bare


# Arrays


def array_value(lexer: Scanner) -> State:
    character = lexer.read()
    if is_space(character):
        return lexer.skip(array_value)
    if lexer.begins_comment(character):
        return comment_then(lexer, array_value)
    if character in "/,":
        raise lexer.error("Unexpected array value terminator ','.")
    if character == "]":
        return array_end
    lexer.back()
    lexer.stack.append(array_value_end)
    return value


def array_value_end(lexer: Scanner) -> State:
    character = lexer.read()
    if character in "\t ":
        return lexer.skip(array_value_end)
    if lexer.begins_comment(character):
        return comment_then(lexer, array_value_end)
    if character in "/,\n\r":
        return lexer.skip(array_value)
    if character == "]":
        return array_end
    raise lexer.error(f'Expected an array value terminator "," or an array terminator "]", but got \'{shown(character)}\' instead.')


def array_end(lexer: Scanner) -> State:
    lexer.ignore()
    lexer.emit(Kind.ARRAY_END)
    return lexer.stack.pop()


# Maps


def map_key_start(lexer: Scanner) -> State:
    character = lexer.peek()
    if character in "=:":
        raise lexer.error(f"Unexpected key separator '{character}'.")
    if character == "]":
        raise lexer.error("Unexpected array end ']' processing map.")
    if character == END:
        raise lexer.error("Unexpected EOF processing map.")
    if is_space(character):
        lexer.read()
        return lexer.skip(map_key_start)
    if character in "}#'\"/":
        lexer.read()
        if character in "}'\"":
            return lexer.skip({"}": map_end, "'": map_quoted_key, '"': map_double_quoted_key}[character])
        if lexer.begins_comment(character):
            return comment_then(lexer, map_key_start)
    lexer.ignore()
    lexer.read()
    return map_key


def map_quoted_key(lexer: Scanner) -> State:
    return _map_quoted_key(lexer, "'", "quoted", map_quoted_key)


def map_double_quoted_key(lexer: Scanner) -> State:
    return _map_quoted_key(lexer, '"', "double quoted", map_double_quoted_key)


def _map_quoted_key(lexer: Scanner, quote: str, name: str, here: State) -> State:
    return map_key_end if quoted_word(lexer, quote, Kind.KEY, f"Unexpected EOF processing {name} map key.") else here


def map_key(lexer: Scanner) -> State:
    lexer.jump(_OF_KEY)
    character = lexer.peek()
    if character == END:
        raise lexer.error("Unexpected EOF processing map key.")
    if is_space(character):
        return _word(lexer, map_key_end, map_value_end)
    if character in "=:":
        lexer.emit(Kind.KEY)
        return map_key_end
    lexer.read()
    return map_key


def map_key_end(lexer: Scanner) -> State:
    character = lexer.read()
    if is_space(character):
        return lexer.skip(map_key_end)
    if character in "=:":
        return lexer.skip(map_value)
    lexer.back()
    return map_value


def map_value(lexer: Scanner) -> State:
    character = lexer.read()
    if is_space(character):
        return lexer.skip(map_value)
    if character == ",":
        raise lexer.error('Unexpected map value terminator ",".')
    if character == "}":
        return lexer.skip(map_end)
    lexer.back()
    lexer.stack.append(map_value_end)
    return value


def map_value_end(lexer: Scanner) -> State:
    character = lexer.read()
    if character in "\t ":
        return lexer.skip(map_value_end)
    if lexer.begins_comment(character):
        return comment_then(lexer, map_value_end)
    if character in "/;,\n\r":
        return lexer.skip(map_key_start)
    if character == "}":
        return lexer.skip(map_end)
    raise lexer.error(f'Expected a map value terminator "," or a map terminator "}}", but got \'{shown(character)}\' instead.')


def map_end(lexer: Scanner) -> State:
    lexer.ignore()
    lexer.emit(Kind.MAP_END)
    return lexer.stack.pop()
