//! One visit: from Session Start through pages and products to, sometimes, an order.

use footfall_model::{Event, Value};
use rand::{Rng, seq::IndexedRandom};

use super::{
    InsertIds,
    catalog::{self, Product},
    people::{Person, Purpose},
};

/// A visit under way: its clock moves with every event.
pub(super) struct Visit<'a, R> {
    person: &'a mut Person,
    rng: &'a mut R,
    insert_ids: &'a mut InsertIds,
    clock: i64,
    /// As derived from the ids below, like an SDK's server does.
    distinct_id: String,
    /// What every event of the visit carries.
    context: Vec<(String, Value)>,
    cart: Vec<&'static Product>,
}

impl<'a, R: Rng> Visit<'a, R> {
    pub fn new(person: &'a mut Person, day: u32, start_ms: i64, rng: &'a mut R, insert_ids: &'a mut InsertIds) -> Self {
        let context = context(person, day);
        Self { person, rng, insert_ids, clock: start_ms, distinct_id: String::new(), context, cart: Vec::new() }
    }

    /// Appends the visit's events in ascending time.
    pub fn run(mut self, purpose: Purpose, events: &mut Vec<Event>) {
        self.arrive(purpose);
        let landing = catalog::PATHS.choose(self.rng).copied().unwrap_or("/");
        self.emit(events, "Session Start", vec![("landing_page", text(landing))]);
        self.emit(events, "Page View", vec![("path", text(landing))]);
        if matches!(purpose, Purpose::SignUp | Purpose::LogIn) {
            self.look_around(events);
            self.introduce(purpose, events);
        }
        self.look_around(events);
        match purpose {
            Purpose::Browse => {}
            _ => self.check_out(events),
        }
        self.leave(events);
    }

    fn arrive(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Browse | Purpose::SignUp => self.anonymous(self.person.device_id.clone()),
            Purpose::LogIn => self.anonymous(self.second_device()),
            Purpose::Return => self.known(self.person.device_id.clone()),
            Purpose::ReturnElsewhere => self.known(self.second_device()),
        }
    }

    fn second_device(&self) -> String {
        self.person.second_device_id.clone().unwrap_or_else(|| self.person.device_id.clone())
    }

    fn anonymous(&mut self, device_id: String) {
        self.distinct_id = format!("$device:{device_id}");
        self.context.push(("$device_id".into(), Value::Text(device_id)));
    }

    fn known(&mut self, device_id: String) {
        self.context.push(("$device_id".into(), Value::Text(device_id)));
        self.identify();
    }

    fn identify(&mut self) {
        self.distinct_id.clone_from(&self.person.user_id);
        self.context.push(("$user_id".into(), text(&self.person.user_id)));
        self.context.push(("plan".into(), text(self.person.plan)));
    }

    /// The event that ties the device to the user carries both ids.
    fn introduce(&mut self, purpose: Purpose, events: &mut Vec<Event>) {
        self.identify();
        let methods: &[&str] = &["email", "google", "apple"];
        let method = methods.choose(self.rng).copied().unwrap_or("email");
        match purpose {
            Purpose::SignUp => {
                let newsletter = self.rng.random_bool(0.4);
                self.emit(events, "Sign Up", vec![("method", text(method)), ("newsletter", Value::Bool(newsletter))]);
            }
            _ => self.emit(events, "Log In", vec![("method", text(method))]),
        }
    }

    /// Pages, searches and products; some of them go into the cart.
    fn look_around(&mut self, events: &mut Vec<Event>) {
        if self.rng.random_bool(0.3) {
            let query = catalog::QUERIES.choose(self.rng).copied().unwrap_or_default();
            let hits = if query == "zzz" { 0 } else { self.rng.random_range(1..60) };
            self.emit(events, "Search", vec![("query", text(query)), ("results", Value::Int(hits))]);
        }
        if !self.rng.random_bool(0.62) {
            return self.wander(events);
        }
        for _ in 0..self.rng.random_range(1..=4) {
            let product = popular_product(self.rng);
            self.wander(events);
            let details = self.product_details(product);
            self.emit(events, "Product Viewed", details);
            if self.rng.random_bool((0.12 * self.person.appetite).min(1.0)) {
                let mut details = self.product_details(product);
                details.push(("quantity", Value::Int(self.rng.random_range(1..=2))));
                self.emit(events, "Added to Cart", details);
                self.cart.push(product);
            }
        }
    }

    fn wander(&mut self, events: &mut Vec<Event>) {
        for _ in 0..self.rng.random_range(0..=2) {
            let path = catalog::PATHS.choose(self.rng).copied().unwrap_or("/");
            self.emit(events, "Page View", vec![("path", text(path))]);
        }
    }

    fn check_out(&mut self, events: &mut Vec<Event>) {
        if self.cart.len() > 1 && self.rng.random_bool(0.15) {
            let Some(dropped) = self.cart.pop() else { return };
            let details = self.product_details(dropped);
            self.emit(events, "Removed from Cart", details);
        }
        if self.cart.is_empty() || !self.rng.random_bool(0.62) {
            return;
        }
        let total: i64 = self.cart.iter().map(|p| p.price_cents).sum();
        let count = Value::Int(self.cart.len() as i64);
        self.emit(events, "Checkout Started", vec![("item_count", count), ("amount", money(total))]);
        let mut paid = total;
        if self.rng.random_bool(0.18) {
            let code = catalog::COUPONS.choose(self.rng).copied().unwrap_or_default();
            paid = total * 9 / 10;
            self.emit(events, "Coupon Applied", vec![("coupon", text(code)), ("discount", money(total - paid))]);
        }
        if self.rng.random_bool(0.68) {
            self.order(paid, events);
        }
    }

    fn order(&mut self, paid_cents: i64, events: &mut Vec<Event>) {
        let items = self.cart.iter().map(|p| {
            Value::Map(vec![
                ("sku".into(), text(p.sku)),
                ("category".into(), text(p.category)),
                ("price".into(), money(p.price_cents)),
            ])
        });
        let details = vec![
            ("amount", money(paid_cents)),
            ("currency", text(self.person.place.currency)),
            ("items", Value::List(items.collect())),
            ("first_order", Value::Bool(!self.person.has_ordered)),
        ];
        self.person.has_ordered = true;
        self.emit(events, "Order Completed", details);
    }

    /// Rare things at the end of a visit.
    fn leave(&mut self, events: &mut Vec<Event>) {
        match self.rng.random_range(0..100) {
            0..3 if self.person.has_ordered => {
                let stars = self.rng.random_range(1..=5);
                self.emit(events, "Review Written", vec![("stars", Value::Int(stars))]);
            }
            3..5 => self.emit(events, "Support Contacted", vec![("topic", text("delivery"))]),
            _ => {}
        }
    }

    fn product_details(&mut self, product: &Product) -> Vec<(&'static str, Value)> {
        // A client that is never updated sends the price as text.
        let price = match self.rng.random_range(0..50) {
            0 => Value::Text(format!("{:.2}", product.price_cents as f64 / 100.0)),
            _ => money(product.price_cents),
        };
        vec![
            ("sku", text(product.sku)),
            ("product", text(product.name)),
            ("category", text(product.category)),
            ("price", price),
            ("tags", Value::List(product.tags.iter().map(|tag| text(tag)).collect())),
        ]
    }

    fn emit(&mut self, events: &mut Vec<Event>, name: &str, details: Vec<(&'static str, Value)>) {
        let mut properties = Vec::with_capacity(self.context.len() + details.len());
        properties.extend_from_slice(&self.context);
        properties.extend(details.into_iter().map(|(name, value)| (name.to_owned(), value)));
        events.push(Event {
            name: name.to_owned(),
            distinct_id: self.distinct_id.clone(),
            time: self.clock,
            insert_id: self.insert_ids.next(),
            insert_id_generated: false,
            properties,
        });
        // At least three seconds: more than the grace within which a funnel's steps may swap.
        self.clock += self.rng.random_range(3_000..45_000);
    }
}

fn context(person: &Person, day: u32) -> Vec<(String, Value)> {
    let (os, browser) = person.client;
    let (utm_source, referrer) = person.source;
    let mut context: Vec<(String, Value)> = Vec::with_capacity(11);
    context.push(("$os".into(), text(os)));
    context.push(("$browser".into(), browser.map_or(Value::Null, text)));
    context.push(("$city".into(), text(person.city)));
    context.push(("mp_country_code".into(), text(person.place.country)));
    if let Some(source) = utm_source {
        context.push(("utm_source".into(), text(source)));
    }
    context.push(("referrer".into(), text(referrer)));
    context.push(("app_version".into(), Value::Text(format!("3.{}.{}", day / 14, day % 14 / 5))));
    context
}

/// The earlier in the list, the likelier.
fn popular_product(rng: &mut impl Rng) -> &'static Product {
    let x: f64 = rng.random();
    &catalog::PRODUCTS[((x * x) * catalog::PRODUCTS.len() as f64) as usize]
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Whole amounts stay whole: a sender's JSON has `50` beside `14.5`.
fn money(cents: i64) -> Value {
    match cents % 100 {
        0 => Value::Int(cents / 100),
        _ => Value::Float(cents as f64 / 100.0),
    }
}
