"""What only the chapter on Co-Mixup needs."""
