"""The small world: a narrated cooking channel, the web site that serves it, and the yt-dlp extractor for that site."""
