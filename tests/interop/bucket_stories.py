"""x."""

from consumer_player import Story

STORIES: list[Story] = []
