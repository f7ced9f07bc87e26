"""Which files are opened as media at all: plain ones of known containers, whatever library opens them.

Media come from strangers. Playlists, concat scripts, text "videos" and patterns of file names are not among these: they
would have other files or the network opened.
"""

CONTAINERS = (
    "mov,matroska,mp3,wav,w64,ogg,flac,aac,avi,mpegts,mpeg,flv,asf,aiff,au,caf,amr,ac3,eac3,gif,apng,h264,hevc,ivf,mxf"
)
"""Of libavformat: what a video site serves, moving pictures of the web, and bare streams."""
SAFETY = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS, "scan_all_pmts": "1"}
"""Options of libavformat; the last one is ffmpeg's own for MPEG-TS, whose tables may name other streams later."""
PICTURE_BRANDS = frozenset({"avif", "avis", "heic", "heix", "mif1", "msf1"})
"""Of files built like mp4 that hold pictures, of HEIC in tiles."""
NOT_OPENED = "no container that is opened; docs/media.md says which are"
