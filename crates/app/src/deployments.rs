//! Deployments that the service API is asked for, carried out over SSH.

use deploy::Deployer;
use service_api::Deployment;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Begins what is asked for, until proxyd ends; what has begun comes to its end, well or taken back.
pub(crate) async fn carry_out(
    mut orders: mpsc::Receiver<Deployment>,
    hands: Deployer,
    stop: impl Future<Output = ()>,
) {
    let mut stop = std::pin::pin!(stop);
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = running.join_next(), if !running.is_empty() => {}
            order = orders.recv() => match order {
                Some(order) => drop(running.spawn(one(order, hands.clone()))),
                None => break,
            },
        }
    }
    hands.close().await;
    while running.join_next().await.is_some() {}
}

/// One deployment: its steps are told as they come, and what came of it is the answer.
async fn one(order: Deployment, hands: Deployer) {
    let Deployment { package_path, target_node, progress, answer } = order;
    let mut begun = match hands.deploy(&package_path, target_node.as_deref()) {
        Ok(begun) => begun,
        Err(refused) => return drop(answer.send(Err(refused.to_string()))),
    };
    let host = begun.host.clone();
    while let Some(step) = begun.progress.recv().await {
        progress.tell(service_api::Progress {
            service: package_path.clone(),
            target_node: host.clone(),
            stage: step.step.name().to_owned(),
            percent: step.step.percent(),
            message: step.message,
        });
    }
    let ended = begun.ended().await;
    let said = ended
        .map(|()| serde_json::json!({ "package": package_path, "target_node": host }))
        .map_err(|failed| failed.to_string());
    // Whoever is gone does not want to know.
    let _ = answer.send(said);
}
