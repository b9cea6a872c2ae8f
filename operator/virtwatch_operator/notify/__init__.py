"""The sink that tells people: an outbox for each NotificationChannel, and the senders that empty it."""
