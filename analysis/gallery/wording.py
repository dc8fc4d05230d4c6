"""What figures say, in English and in Turkish, the language of the reference's talk."""

from __future__ import annotations

from analysis.classes import Language

_TEXTS: dict[str, dict[Language, str]] = {
    "epoch": {"en": "epoch", "tr": "epok"},
    "nats": {"en": "nats per image", "tr": "görüntü başına nat"},
    "training": {"en": "training", "tr": "eğitim"},
    "validation": {"en": "validation", "tr": "doğrulama"},
    "total_loss": {"en": "Total loss", "tr": "Toplam kayıp"},
    "recon_loss": {"en": "Reconstruction loss", "tr": "Yeniden yapılandırma kaybı"},
    "neg_elbo": {"en": "−ELBO (β = 1)", "tr": "−ELBO (β = 1)"},
    "kl_loss": {"en": "KL divergence", "tr": "KL ıraksaması"},
    "supcon_loss": {
        "en": "Supervised contrastive loss",
        "tr": "Denetimli karşıtsal kayıp (SupCon)",
    },
    "supcon_unit": {"en": "SupCon, nats", "tr": "SupCon, nat"},
    "supcon_collapsed": {
        "en": "all codes alike: ln {others} = {value:.3f}",
        "tr": "bütün kodlar aynı olsa: ln {others} = {value:.3f}",
    },
    "floor": {
        "en": "floor, the targets' entropy: {value:.1f}",
        "tr": "alt sınır, hedeflerin entropisi: {value:.1f}",
    },
    "beta": {"en": "β warm-up: weight of the KL", "tr": "β ısınması: KL ağırlığı"},
    "no_supcon": {
        "en": "γ = 0: this run has no contrastive term.",
        "tr": "γ = 0: bu koşuda karşıtsal terim yok.",
    },
    "no_kl": {
        "en": "A plain autoencoder has no KL term.",
        "tr": "Düz otokodlayıcıda KL terimi yoktur.",
    },
    "no_prior": {
        "en": "A plain autoencoder has no prior to draw from.",
        "tr": "Düz otokodlayıcının örneklenecek bir önseli yoktur.",
    },
    "no_umap": {
        "en": "UMAP is not installed here (package umap-learn).",
        "tr": "UMAP burada kurulu değil (umap-learn paketi).",
    },
    "no_places": {
        "en": "No picture: the codes are all alike, not finite, or fewer than 5.",
        "tr": "Resim yok: kodların hepsi aynı, sonlu değil ya da 5'ten az.",
    },
    "noisy": {"en": "noisy", "tr": "gürültülü"},
    "input": {"en": "input", "tr": "girdi"},
    "reconstruction": {"en": "reconstruction", "tr": "yeniden\nyapılandırma"},
    "clean": {"en": "clean", "tr": "temiz"},
    "denoising": {
        "en": "VAE denoising ({data}), noise {factor:g}; PSNR in dB below each",
        "tr": "VAE ile gürültü giderme ({data}), gürültü {factor:g}; altta PSNR (dB)",
    },
    "reconstructions": {
        "en": "Reconstructions ({data}); PSNR in dB below each",
        "tr": "Yeniden yapılandırmalar ({data}); altta PSNR (dB)",
    },
    "latent": {
        "en": "Latent space (z_mean), {method}: {count} test images",
        "tr": "Latent uzay (z_mean), {method}: {count} test görüntüsü",
    },
    "component": {
        "en": "component {number} ({share:.1%} of the variance)",
        "tr": "bileşen {number} (varyans payı %{percent:.1f})",
    },
    "generated": {
        "en": "Generated samples, prior $z \\sim N(0, 1)$",
        "tr": "Üretilen örnekler, önsel $z \\sim N(0, 1)$",
    },
    "interpolation": {
        "en": "Latent interpolation ($z_A \\rightarrow z_B$) | $i_1$={first}, $i_2$={second}",
        "tr": "Latent interpolasyon ($z_A \\rightarrow z_B$) | $i_1$={first}, $i_2$={second}",
    },
    "interpolations": {
        "en": "Latent interpolation, {kind}; originals at both ends",
        "tr": "Latent interpolasyon, {kind}; iki uçta asıl görüntüler",
    },
    "linear": {"en": "linear", "tr": "doğrusal"},
    "spherical": {"en": "spherical", "tr": "küresel"},
    "traversal": {
        "en": "Latent dimension {dimension}, {rank} of {count} by KL: {kl:.3f} nats",
        "tr": "Latent boyut {dimension}, KL sırasıyla {rank} / {count}: {kl:.3f} nat",
    },
    "traversals": {
        "en": "Traversals: one dimension at quantiles of the prior, the others at 0",
        "tr": "Latent gezinti: bir boyut önselin kantillerinde, ötekiler 0'da",
    },
    "inactive": {"en": "inactive", "tr": "etkin değil"},
    "median": {"en": "others at 0", "tr": "ötekiler 0'da"},
    "draw": {"en": "draw {number}", "tr": "örnek {number}"},
    "confusion": {"en": "{classifier} on {source}", "tr": "{source} üzerinde {classifier}"},
    "codes": {"en": "codes", "tr": "latent kodlar"},
    "pixels": {"en": "pixels", "tr": "pikseller"},
    "predicted": {"en": "predicted", "tr": "tahmin"},
    "true": {"en": "true class", "tr": "gerçek sınıf"},
    "loss_curves": {"en": "Losses per epoch", "tr": "Epok başına kayıplar"},
    "panel_denoising": {"en": "VAE denoising", "tr": "VAE ile Gürültü Giderme"},
    "panel_representation": {"en": "Representation learning", "tr": "Temsil Öğrenme"},
    "panel_generation": {"en": "Generation", "tr": "Görüntü Üretimi"},
    "panel_interpolation": {"en": "Latent interpolation", "tr": "Latent İnterpolasyon"},
    "panel_denoising_note": {
        "en": "{data}, noise {factor:g}: noisy → clean",
        "tr": "{data}, gürültü {factor:g}: gürültülü → temiz",
    },
    "panel_representation_note": {
        "en": "what z_mean knows of the classes: PCA, UMAP, t-SNE",
        "tr": "z_mean sınıflar hakkında ne biliyor: PCA, UMAP, t-SNE",
    },
    "panel_generation_note": {
        "en": "samples from the prior, $z \\sim N(0, 1)$",
        "tr": "önselden örnekleme, $z \\sim N(0, 1)$",
    },
    "panel_interpolation_note": {
        "en": "$z_A \\rightarrow z_B$: a walk between two images",
        "tr": "$z_A \\rightarrow z_B$: iki görüntü arasında yürüyüş",
    },
}


def say(key: str, language: Language, **values: object) -> str:
    """The text of `key`, with its values filled in."""
    return _TEXTS[key][language].format(**values)
