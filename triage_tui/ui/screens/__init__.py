"""Full-screen views: the main screen, the in-place editor, help and the small questions."""
