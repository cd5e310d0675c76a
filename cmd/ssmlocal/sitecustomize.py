# Written by "ssmlocal run --https" for the programs of this run. The vendor's
# SDK trusts the file of certifi and no other, so certifi names one that has the
# emulator's certificate, too. Then comes the sitecustomize that would have been
# read without this one.
import os
import sys
import zlib

_here = os.path.dirname(os.path.abspath(__file__))


def _trust():
    try:
        import certifi
    except ImportError:
        return
    with open(certifi.where()) as own, open(os.path.join(_here, "ca.pem")) as ca:
        text = own.read() + "\n" + ca.read()
    bundle = os.path.join(_here, "certifi-%08x.pem" % zlib.crc32(text.encode()))
    if not os.path.exists(bundle):
        new = bundle + "." + str(os.getpid())
        with open(new, "w") as file:
            file.write(text)
        os.replace(new, bundle)
    certifi.where = lambda: bundle
    certifi.contents = lambda: text


_trust()
sys.path[:] = [p for p in sys.path if os.path.abspath(p) != _here]
_this = sys.modules.pop("sitecustomize", None)
try:
    import sitecustomize  # noqa: F401
except ImportError:
    pass
finally:
    if _this:
        sys.modules.setdefault("sitecustomize", _this)
