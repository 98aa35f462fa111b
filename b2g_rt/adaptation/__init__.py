"""What a decoder goes on learning during a session; in the hall, so that live and offline learn alike."""
