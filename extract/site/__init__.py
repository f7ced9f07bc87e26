"""The yt-dlp family: search, metadata and download, at a polite pace and within limits."""
