"""Takes an order and refuses what is wrong with it, by raising: this is how a failed invocation looks."""

PRICES = {"candle": 2.50, "lantern": 18.00, "matches": 0.80}


def handler(event, context):
    print(f"checking the order {event!r}")
    return {"total": total(event)}


def total(order):
    if not isinstance(order, dict) or "item" not in order:
        raise ValueError('the order names no item; try {"item": "candle", "quantity": 3}')
    return price(order["item"]) * quantity(order.get("quantity", 1))


def price(item):
    if item not in PRICES:
        raise ValueError(f"there is no {item!r} in the shop, only {', '.join(PRICES)}")
    return PRICES[item]


def quantity(value):
    try:
        number = int(value)
    except TypeError as error:
        raise ValueError(f"quantity {value!r} is not a number") from error
    if number < 1:
        raise ValueError(f"quantity must be at least 1, not {number}")
    return number
