//! RabbitMQ with the queues under the names of the totals, told apart by the tag `queue`, from version 3.6 on (see
//! [`management`]).

use super::{CONF, management};
use crate::check::{Runs, Spec};
use crate::fetch::http;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge};

pub static SPEC: Spec = Spec {
    name: "check_rabbitmq_368",
    purpose: "messages, rates and chosen queues of RabbitMQ",
    check_type: "rabbitmq",
    conf: CONF,
    section: "RabbitMQ 3.6",
    keys: &[&["stats", "queue_details", "desired_queues"], http::KEYS],
    runs: Runs::Own,
    fields: &[TOTALS, management::OVERVIEW, QUEUE],
    build: |section| {
        let names = section.list("desired_queues").into_iter().map(String::from).collect();
        let totals = (TOTALS, Tags::one("queue", ALL));
        management::broker(section, totals, &[QUEUE], names, |queue, out| match queue.name {
            ALL if queue.is_usual() => {
                out.absence_of(ALL, "a queue of this name is not told, as its tag is that of the totals")
            }
            name => queue.tell(QUEUE, name, out),
        })
    },
};

/// The tag of the totals.
const ALL: &str = "all";

const TOTALS: &[Field] = &[
    gauge("/queue_totals/messages", "rabbitmq_messages").int(),
    gauge("/queue_totals/messages_ready", "rabbitmq_messages_ready").int(),
    gauge("/queue_totals/messages_unacknowledged", "rabbitmq_messages_unacknowledged").int(),
    gauge("/queue_totals/messages_details/rate", "rabbitmq_messages_details"),
    gauge("/queue_totals/messages_ready_details/rate", "rabbitmq_messages_ready_details"),
    gauge("/queue_totals/messages_unacknowledged_details/rate", "rabbitmq_messages_unacknowledged_details"),
    gauge("/message_stats/publish_details/rate", "rabbitmq_publish_rate"),
    gauge("/message_stats/deliver_details/rate", "rabbitmq_deliver_rate"),
    gauge("/message_stats/deliver_get_details/rate", "rabbitmq_deliver_get_rate"),
    gauge("/message_stats/ack_details/rate", "rabbitmq_ack_rate"),
    gauge("/message_stats/redeliver_details/rate", "rabbitmq_redeliver_rate"),
];

const QUEUE: &[Field] = &[
    gauge("/messages", "rabbitmq_messages").int(),
    gauge("/messages_unacknowledged", "rabbitmq_messages_unacknowledged").int(),
    gauge("/messages_ready", "rabbitmq_messages_ready").int(),
    gauge("/message_bytes_persistent", "rabbitmq_message_bytes_persistent").int(),
    gauge("/message_bytes_ram", "rabbitmq_message_bytes_ram").int(),
    gauge("/messages_persistent", "rabbitmq_messages_persistent").int(),
    gauge("/messages_ram", "rabbitmq_messages_ram").int(),
    gauge("/consumers", "rabbitmq_consumers").int(),
    gauge("/consumer_utilisation", "rabbitmq_consumer_utilisation"),
    gauge("/memory", "rabbitmq_memory").int(),
    gauge("/message_stats/publish_details/rate", "rabbitmq_publish_rate"),
    gauge("/message_stats/deliver_details/rate", "rabbitmq_deliver_rate"),
    gauge("/message_stats/deliver_get_details/rate", "rabbitmq_deliver_get_rate"),
    gauge("/message_stats/ack_details/rate", "rabbitmq_ack_rate"),
    gauge("/message_stats/redeliver_details/rate", "rabbitmq_redeliver_rate"),
];
