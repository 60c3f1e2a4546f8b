"""What is found in an image: boxes and masks, matching, drawing, writing them down."""
