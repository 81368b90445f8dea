//! RabbitMQ with the queues under names of their own, as before version 3.6.8 (see [`management`]).

use super::{CONF, management};
use crate::check::{Runs, Spec};
use crate::fetch::http;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge};

pub static SPEC: Spec = Spec {
    name: "check_rabbitmq",
    purpose: "messages, rates and queues of RabbitMQ",
    check_type: "rabbitmq",
    conf: CONF,
    section: "RabbitMQ",
    keys: &[&["stats", "queue_details", "plain_tags"], http::KEYS],
    runs: Runs::Own,
    fields: &[TOTALS, management::OVERVIEW, QUEUE, PUBLISH, DELIVER],
    build: |section| {
        let is_plain = section.flag("plain_tags", false)?;
        let totals = (TOTALS, Tags::default());
        management::broker(section, totals, &[QUEUE, PUBLISH, DELIVER], Vec::new(), move |queue, out| {
            queue.tell(QUEUE, queue.name, out);
            for (fields, word) in [(PUBLISH, "publish"), (DELIVER, "deliver")] {
                let odd = format!("rabbitmq_{}_{word}_details", queue.name);
                queue.tell(fields, if is_plain { queue.name } else { &odd }, out);
            }
        })
    },
};

const TOTALS: &[Field] = &[
    gauge("/message_stats/publish_details/rate", "rabbitmq_publish_rate"),
    gauge("/message_stats/ack_details/rate", "rabbitmq_ack_rate"),
    gauge("/message_stats/deliver_get_details/rate", "rabbitmq_deliver_get_rate"),
    gauge("/message_stats/redeliver_details/rate", "rabbitmq_redeliver_rate"),
    gauge("/message_stats/deliver_details/rate", "rabbitmq_deliver_rate"),
    gauge("/queue_totals/messages", "rabbitmq_messages").int(),
    gauge("/queue_totals/messages_ready", "rabbitmq_messages_ready").int(),
    gauge("/queue_totals/messages_unacknowledged", "rabbitmq_messages_unacknowledged").int(),
];

const QUEUE: &[Field] = &[
    gauge("/messages", "rabbitmq_perqueue_messages"),
    gauge("/messages_ready", "rabbitmq_perqueue_messages_ready").int(),
    gauge("/messages_unacknowledged", "rabbitmq_perqueue_messages_unacknowledged").int(),
    gauge("/consumers", "rabbitmq_perqueue_consumers").int(),
    gauge("/consumer_utilisation", "rabbitmq_perqueue_consumer_utilisation"),
    gauge("/memory", "rabbitmq_perqueue_memory").int(),
    gauge("/message_stats/ack_details/rate", "rabbitmq_perqueue_ack"),
    gauge("/message_stats/redeliver_details/rate", "rabbitmq_perqueue_redeliver"),
    gauge("/message_stats/deliver_get_details/rate", "rabbitmq_perqueue_deliver_get"),
];

// Their tag `queue` is rabbitmq_NAME_publish_details, as of old, unless `plain_tags` is on.
const PUBLISH: &[Field] = &[gauge("/message_stats/publish_details/rate", "rabbitmq_perqueue_publish")];
const DELIVER: &[Field] = &[gauge("/message_stats/deliver_details/rate", "rabbitmq_perqueue_deliver")];
