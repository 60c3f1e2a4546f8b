"""What is displaced is written down, and put back."""

from __future__ import annotations

from synet.patches.undo import Applied


def test_what_is_bound_comes_back_newest_first():
    class Owner:
        here = first = object()

    applied, order = Applied(), []
    applied.on_undo(lambda: order.append(hasattr(Owner, "new")))
    applied.bind(Owner, "here", 1)
    applied.bind(Owner, "here", 2)
    applied.bind(Owner, "new", 3)
    assert (Owner.here, Owner.new) == (2, 3) and applied
    applied.undo()
    assert Owner.here is Owner.first
    assert order == [False] and not applied and applied.changes == []
    applied.undo()
    assert order == [False]


def test_an_inherited_method_is_not_copied_down():
    class Base:
        def method(self):
            return "base"

    class Child(Base):
        pass

    applied = Applied()
    applied.bind(Child, "method", lambda self: "patched")
    assert Child().method() == "patched"
    applied.undo()
    assert "method" not in vars(Child) and Child().method() == "base"


def test_items_of_a_mapping_come_back_even_if_they_are_gone():
    applied, mapping = Applied(), {"old": "value"}
    applied.bind_item(mapping, "old", 1)
    applied.bind_item(mapping, "new", 2)
    del mapping["new"]
    applied.undo()
    assert mapping == {"old": "value"}
