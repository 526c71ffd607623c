# id: py-import-flood
# class: python
# attempts: import a large part of the standard library, for the memory and time of whoever does it ahead
# expect: contained

import ast, asyncio.events, calendar, cgi, codecs, configparser, csv, ctypes.util, dbm, decimal, difflib, dis, doctest, email.mime.multipart, encodings.idna, ftplib, getopt, gettext, gzip, heapq
import html.parser, http.client, http.server, imaplib, imghdr, inspect, ipaddress, locale, logging.config, lzma, mailbox, mimetypes, multiprocessing, nntplib, numbers, optparse, pdb, pickle
import pickletools, pkgutil, platform, plistlib, poplib, pprint, profile, pstats, pty, pyclbr, pydoc, queue, quopri, sched, selectors, shelve, shlex, smtplib, socketserver, sqlite3
import statistics, tarfile, telnetlib, tempfile, textwrap, timeit, trace, tracemalloc, unittest.mock, urllib.request, venv, wave, webbrowser, wsgiref.simple_server, xml.dom.minidom, xmlrpc.client, zipapp, zipfile
async def main():
    return {"escaped": False}
