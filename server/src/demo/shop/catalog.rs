//! What the shop sells and where its visitors come from. Tables only; popularity falls from the first entry to the last.

/// One article.
pub(super) struct Product {
    pub sku: &'static str,
    pub name: &'static str,
    pub category: &'static str,
    /// In cents of the visitor's currency: one price list for all countries.
    pub price_cents: i64,
    pub tags: &'static [&'static str],
}

const fn product(
    sku: &'static str,
    name: &'static str,
    category: &'static str,
    price_cents: i64,
    tags: &'static [&'static str],
) -> Product {
    Product { sku, name, category, price_cents, tags }
}

pub(super) const PRODUCTS: &[Product] = &[
    product("SH-101", "Trail Runner", "Shoes", 11_990, &["running", "outdoor", "sale"]),
    product("TS-201", "Organic T-Shirt", "Tops", 2_490, &["cotton", "basics"]),
    product("JN-301", "Slim Jeans", "Trousers", 7_990, &["denim"]),
    product("BG-401", "City Backpack", "Bags", 8_900, &["commute", "recycled"]),
    product("SH-102", "Court Sneaker", "Shoes", 9_450, &["casual"]),
    product("JK-501", "Rain Jacket", "Jackets", 14_900, &["outdoor", "waterproof"]),
    product("AC-601", "Wool Beanie", "Accessories", 1_990, &["winter", "basics"]),
    product("TS-202", "Striped Longsleeve", "Tops", 3_490, &["cotton"]),
    product("SP-701", "Yoga Mat", "Sports", 4_500, &["indoor", "new"]),
    product("AC-602", "Leather Belt", "Accessories", 3_990, &[]),
    product("SH-103", "Hiking Boot", "Shoes", 17_990, &["outdoor", "waterproof"]),
    product("JN-302", "Wide Chino", "Trousers", 6_990, &["cotton", "new"]),
    product("HM-801", "Ceramic Mug", "Home", 1_450, &["gift"]),
    product("SP-702", "Steel Bottle", "Sports", 2_900, &["recycled", "gift"]),
    product("JK-502", "Down Vest", "Jackets", 12_900, &["winter", "sale"]),
    product("BG-402", "Weekender", "Bags", 15_900, &["travel"]),
    product("AC-603", "Sunglasses", "Accessories", 5_900, &["summer", "sale"]),
    product("TS-203", "Linen Shirt", "Tops", 5_490, &["summer", "linen"]),
    product("HM-802", "Throw Blanket", "Home", 4_990, &["winter", "gift"]),
    product("SP-703", "Resistance Bands", "Sports", 1_690, &["indoor"]),
    product("SH-104", "Slide Sandal", "Shoes", 3_990, &["summer"]),
    product("JN-303", "Running Tights", "Trousers", 5_990, &["running"]),
    product("HM-803", "Desk Lamp", "Home", 8_490, &["new"]),
    product("GC-901", "Gift Card", "Gift Cards", 5_000, &["gift"]),
];

/// A place with its weight among the visitors.
pub(super) struct Place {
    pub country: &'static str,
    pub currency: &'static str,
    pub weight: u32,
    pub cities: &'static [&'static str],
}

pub(super) const PLACES: &[Place] = &[
    Place {
        country: "US",
        currency: "USD",
        weight: 38,
        cities: &["New York", "Chicago", "Austin", "Seattle", "San José"],
    },
    Place { country: "DE", currency: "EUR", weight: 17, cities: &["Berlin", "Hamburg", "München", "Köln"] },
    Place { country: "GB", currency: "GBP", weight: 13, cities: &["London", "Leeds", "Glasgow"] },
    Place { country: "FR", currency: "EUR", weight: 9, cities: &["Paris", "Lyon", "Orléans"] },
    Place { country: "NL", currency: "EUR", weight: 6, cities: &["Amsterdam", "Utrecht"] },
    Place { country: "CA", currency: "CAD", weight: 6, cities: &["Toronto", "Montréal"] },
    Place { country: "BR", currency: "BRL", weight: 4, cities: &["São Paulo", "Recife"] },
    Place { country: "IN", currency: "INR", weight: 4, cities: &["Bengaluru", "Pune"] },
    Place { country: "JP", currency: "JPY", weight: 3, cities: &["東京", "大阪"] },
];

/// Operating system, browser (none in the app) and weight.
pub(super) const CLIENTS: &[(&str, Option<&str>, u32)] = &[
    ("iOS", None, 24),
    ("Android", None, 21),
    ("Windows", Some("Chrome"), 18),
    ("Mac OS X", Some("Safari"), 11),
    ("iOS", Some("Mobile Safari"), 9),
    ("Android", Some("Chrome"), 8),
    ("Windows", Some("Microsoft Edge"), 5),
    ("Linux", Some("Firefox"), 4),
];

/// `utm_source` (none: came by itself), `referrer` and weight.
pub(super) const SOURCES: &[(Option<&str>, &str, u32)] = &[
    (None, "$direct", 34),
    (Some("google"), "www.google.com", 27),
    (Some("instagram"), "l.instagram.com", 13),
    (Some("newsletter"), "mail.shop.example", 10),
    (Some("facebook"), "m.facebook.com", 8),
    (Some("partner"), "blog.partner.example", 5),
    (None, "duckduckgo.com", 3),
];

/// Plan and weight.
pub(super) const PLANS: &[(&str, u32)] = &[("free", 71), ("plus", 22), ("pro", 7)];

pub(super) const PATHS: &[&str] = &["/", "/new", "/sale", "/stores", "/help/shipping", "/about", "/blog/care-guide"];

pub(super) const QUERIES: &[&str] =
    &["running shoes", "jeans", "gift", "rain jacket", "t-shirt white", "backpack 20l", "wool", "größe 43", "zzz"];

pub(super) const COUPONS: &[&str] = &["WELCOME10", "SUMMER15", "FREESHIP", "VIP20"];
