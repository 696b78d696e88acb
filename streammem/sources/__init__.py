"""Where frames come from: video files, cameras, folders of pictures, and lists in memory."""
