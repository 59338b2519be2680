"""People in an image as landmarks: detection, regions and 33 points per person."""
