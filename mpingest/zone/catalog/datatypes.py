"""Data types that the catalog knows."""

_NAMES = """
AIX DLL, AIX Executable, AVI, BMP -Bit Map, C code, C include file, CSS-Cascading Style Sheet, Cray DLL,
Cray Executable, DICOM header, DICOM image, DLL, DVI format, Document, Excel Spread Sheet, Executable,
FITS image, LaTeX format, MP3 - MPEG Audio, MPEG, MPEG 3 Movie, MPEG Movie, MSWord Document, Mac DLL,
Mac Executable, Mac OSX Executable, Movie, NSF Award Abstracts, NT DLL, NT Executable, PDF Document,
PNG-Portable Network Graphics, Postscript format, Power Point Slide, Quicktime Movie, SGI DLL, SGI Executable,
SGML File, SQL script, Slide, Solaris DLL, Solaris Executable, Spread Sheet, Troff format, URL,
WMV-Windows Media Video, Wave Audio, Word format, XML Schema, ascii compressed Huffman,
ascii compressed Lempel-Ziv, ascii text, audio streams, binary file, bzip2File, bzip2Tar, bzip2Tar bundle,
compressed PDB file, compressed file, compressed mmCIF file, compressed tar file, data file, database,
database object, database shadow object, datascope data, directory shadow object, ebcdic compressed Huffman,
ebcdic compressed Lempel-Ziv, ebcdic text, email, fig image, fortran code, generic, gif image, gzipFile,
gzipTar, gzipTar bundle, html, image, java code, jpeg image, library code, link code, mso, msso file,
object code, orb data, pbm image, perl script, print-format, program code, realAudio, realVideo, shadow object,
streams, tar bundle, tar file, tcl script, text, tiff image, uuencoded tiff, video streams, xml, zipFile,
zipFile bundle
"""

DATA_TYPES = frozenset(name.strip() for name in _NAMES.replace("\n", " ").split(","))
