"""What people have in modules of their own, under names by which forks know it.

`synet.backends.conformance` puts it beside the script of a process that is patched.
"""


def load_image(path):
    return "image", path


def letterbox(im, new_shape=3):
    return "letter", im, new_shape


def check_requirements(requirements=()):
    return "required", requirements


def check_file(file, suffix=""):
    return "file", file


def parse_rows(d, ch):
    return [Conv(*d)]


class Conv:
    def __init__(self, c1, c2, k=1):
        self.told = c1, c2, k


class DWConv(Conv):
    pass


class LoadImages:
    def __init__(self, path):
        self.path = path

    def __getitem__(self, index):
        return self.path, index

    def load_image(self, i):
        return i


def answers():
    images = LoadImages("a")
    told = [Conv(1, 2).told, DWConv(3, 4, 5).told, parse_rows((1, 2), 3)[0].told]
    calls = [load_image("a"), letterbox("b"), check_requirements("c"), check_file("d")]
    return [*told, *calls, images[0], images.load_image(1)]
