use super::*;

fn attachment(network: &str, third: u8) -> Attachment {
    Attachment {
        network: network.to_owned(),
        subnet: (Ipv4Addr::new(10, 89, third, 0), 24),
        address: None,
        aliases: vec!["web".to_owned()],
        internal: false,
        mac: None,
    }
}

fn plan(number: u8, attachments: Vec<Attachment>) -> NetworkPlan {
    NetworkPlan {
        container: ContainerId::from_random([number; 32]),
        name: format!("c{number}"),
        attachments,
        published: vec![],
        host_loopback: number == 1,
        servers: Vec::new(),
    }
}

fn ask(world: &World, client: Ipv4Addr, name: &str) -> Option<Answer> {
    world.answer(client, &Query::Address(name.to_owned()))
}

#[test]
fn names_are_seen_in_shared_networks_only() {
    let mut world = World::default();
    let a = world
        .seat(1, &plan(1, vec![attachment("front", 0)]))
        .unwrap()[0]
        .address;
    let both = plan(2, vec![attachment("front", 0), attachment("back", 1)]);
    let b = world.seat(2, &both).unwrap();
    let c = world
        .seat(3, &plan(3, vec![attachment("back", 1)]))
        .unwrap()[0]
        .address;
    assert_eq!(
        ask(&world, a, "c2"),
        Some(Answer::Addresses(vec![b[0].address]))
    );
    assert_eq!(ask(&world, a, "c3"), None);
    assert_eq!(
        ask(&world, b[0].address, "C3"),
        Some(Answer::Addresses(vec![c]))
    );
    let short = ContainerId::from_random([3; 32]).short().to_owned();
    assert_eq!(
        ask(&world, b[1].address, &short),
        Some(Answer::Addresses(vec![c]))
    );
    assert_eq!(
        world.answer(a, &Query::Name(b[0].address)),
        Some(Answer::Name("c2".to_owned()))
    );
    assert_eq!(world.answer(a, &Query::Name(c)), Some(Answer::NoSuchName));
    assert_eq!(
        world.answer(a, &Query::Name(Ipv4Addr::new(8, 8, 8, 8))),
        None
    );
    world.remove(2);
    assert_eq!(ask(&world, a, "c2"), None);
}

#[test]
fn replicas_take_turns() {
    let mut world = World::default();
    for number in 1..=3 {
        world
            .seat(number, &plan(number as u8, vec![attachment("front", 0)]))
            .unwrap();
    }
    let client = Ipv4Addr::new(10, 89, 0, 2);
    let firsts: Vec<_> = (0..3)
        .map(|_| match ask(&world, client, "web") {
            Some(Answer::Addresses(all)) if all.len() == 3 => all[0].octets()[3],
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(firsts, [2, 3, 4]);
}

#[test]
fn the_way_out_is_barred_inside_and_to_the_host() {
    let mut world = World::default();
    let mut shut = attachment("back", 1);
    shut.internal = true;
    let a = world
        .seat(1, &plan(1, vec![attachment("front", 0)]))
        .unwrap()[0]
        .address;
    let b = world
        .seat(2, &plan(2, vec![attachment("front", 0)]))
        .unwrap()[0]
        .address;
    let c = world.seat(3, &plan(3, vec![shut])).unwrap()[0].address;
    let outside = Ipv4Addr::new(93, 184, 216, 34);
    assert_eq!(world.way_out(a, outside), Some(outside));
    assert_eq!(world.way_out(a, c), None);
    assert_eq!(world.way_out(a, Ipv4Addr::LOCALHOST), None);
    assert_eq!(world.way_out(a, HOST_ALIAS), Some(Ipv4Addr::LOCALHOST));
    assert_eq!(world.way_out(b, HOST_ALIAS), None);
    assert_eq!(world.way_out(c, outside), None);
    assert_eq!(world.way_out(Ipv4Addr::new(10, 89, 0, 77), outside), None);
    assert_eq!(ask(&world, c, "example.org"), Some(Answer::NoSuchName));
    assert_eq!(
        ask(&world, b, "host.docker.internal"),
        Some(Answer::NoSuchName)
    );
    assert_eq!(
        ask(&world, a, "host.docker.internal"),
        Some(Answer::Addresses(vec![HOST_ALIAS]))
    );
}

#[test]
fn conflicts_name_the_other() {
    let mut world = World::default();
    let fixed = |last| Attachment {
        address: Some(Ipv4Addr::new(10, 89, 0, last)),
        ..attachment("front", 0)
    };
    world.seat(1, &plan(1, vec![fixed(2)])).unwrap();
    let taken = world
        .seat(2, &plan(2, vec![fixed(2)]))
        .unwrap_err()
        .to_string();
    assert_eq!(
        taken,
        "address 10.89.0.2 of network front is in use by container c1"
    );
    let own = world
        .seat(2, &plan(2, vec![fixed(1)]))
        .unwrap_err()
        .to_string();
    assert!(own.contains("10.89.0.1 is not a usable address"), "{own}");
    let next = world
        .seat(3, &plan(3, vec![attachment("front", 0)]))
        .unwrap();
    assert_eq!(next[0].address, Ipv4Addr::new(10, 89, 0, 3));
    let overlap = world
        .seat(4, &plan(4, vec![attachment("other", 0)]))
        .unwrap_err()
        .to_string();
    assert_eq!(
        overlap,
        "subnet 10.89.0.0/24 of network other overlaps with network front"
    );
    world.remove(1);
    world.remove(3);
    world
        .seat(5, &plan(5, vec![attachment("other", 0)]))
        .unwrap();
}
