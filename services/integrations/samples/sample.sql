-- The sample database: orders to read, and an empty table to write a summary into.
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer TEXT NOT NULL,
    region TEXT NOT NULL,
    amount_cents INTEGER NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('paid', 'open', 'refunded')),
    created_at TEXT NOT NULL
);

CREATE TABLE order_summary (
    region TEXT NOT NULL,
    order_count INTEGER NOT NULL,
    total_amount_cents INTEGER NOT NULL
);

INSERT INTO orders (id, customer, region, amount_cents, currency, status, created_at) VALUES
    (1, 'Alder Books', 'north', 12900, 'EUR', 'paid', '2026-01-05T09:12:00Z'),
    (2, 'Birch Cafe', 'south', 4550, 'EUR', 'paid', '2026-01-06T11:40:00Z'),
    (3, 'Cedar Labs', 'west', 89900, 'EUR', 'open', '2026-01-06T15:03:00Z'),
    (4, 'Dune Travel', 'east', 23400, 'EUR', 'paid', '2026-01-07T08:25:00Z'),
    (5, 'Elm Garden', 'north', 7600, 'EUR', 'refunded', '2026-01-08T10:00:00Z'),
    (6, 'Fjord Fish', 'north', 31250, 'EUR', 'paid', '2026-01-09T13:37:00Z'),
    (7, 'Grove Music', 'west', 15900, 'EUR', 'paid', '2026-01-10T17:20:00Z'),
    (8, 'Harbor Tools', 'south', 54300, 'EUR', 'paid', '2026-01-12T09:45:00Z'),
    (9, 'Iris Optics', 'east', 112000, 'EUR', 'paid', '2026-01-13T14:10:00Z'),
    (10, 'Juniper Gin', 'south', 8800, 'EUR', 'open', '2026-01-14T16:55:00Z'),
    (11, 'Kestrel Air', 'west', 230000, 'EUR', 'paid', '2026-01-15T07:30:00Z'),
    (12, 'Lark Post', 'north', 3300, 'EUR', 'paid', '2026-01-16T12:05:00Z'),
    (13, 'Maple Dental', 'east', 67500, 'EUR', 'refunded', '2026-01-19T10:15:00Z'),
    (14, 'Nettle Tea', 'south', 2950, 'EUR', 'paid', '2026-01-20T18:00:00Z'),
    (15, 'Oak Homes', 'west', 145000, 'EUR', 'open', '2026-01-21T09:00:00Z'),
    (16, 'Pine Press', 'north', 19900, 'EUR', 'paid', '2026-01-22T11:11:00Z'),
    (17, 'Quarry Stone', 'east', 78200, 'EUR', 'paid', '2026-01-23T15:45:00Z'),
    (18, 'Reed Boats', 'south', 45600, 'EUR', 'paid', '2026-01-26T08:50:00Z'),
    (19, 'Sage Spices', 'west', 6700, 'EUR', 'paid', '2026-01-27T13:25:00Z'),
    (20, 'Thistle Wool', 'north', 28800, 'EUR', 'open', '2026-01-28T16:40:00Z'),
    (21, 'Umber Paint', 'east', 9900, 'EUR', 'paid', '2026-01-29T10:35:00Z'),
    (22, 'Vale Cycles', 'south', 99000, 'EUR', 'paid', '2026-01-30T14:20:00Z'),
    (23, 'Willow Toys', 'west', 12400, 'EUR', 'refunded', '2026-01-31T09:55:00Z'),
    (24, 'Yarrow Yoga', 'north', 5200, 'EUR', 'paid', '2026-02-02T17:05:00Z');
