"""Figures: functions of tidy tables; nothing here imports torch."""
