import sys

import tfdvbpr

folder = sys.argv[1]
shop = {"num_items": 300, "num_users": 200}
dataset = tfdvbpr.prepare(None, f"{folder}/dataset", source_format="synthetic", importer_options=shop)
run = tfdvbpr.train(dataset, f"{folder}/dvbpr", config=tfdvbpr.recommender_config("dvbpr", epochs=5))
print(tfdvbpr.evaluate(run)["auc"])
user = run.user_ids[0]
print([item.item_id for item in run.recommend(user, k=5)])
gan = tfdvbpr.train_gan(dataset, f"{folder}/gan", config=tfdvbpr.GanConfig(epochs=2, base_channels=8))
designs = tfdvbpr.design(run, gan, f"{folder}/designs", user_ids=[user], category="dress", seed=1)
print(designs.images.shape, designs.preferences)
