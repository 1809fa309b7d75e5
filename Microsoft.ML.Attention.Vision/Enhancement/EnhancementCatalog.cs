using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;

namespace Microsoft.ML;

/// <summary>Low-light enhancement in an <see cref="MLContext"/>'s catalogs.</summary>
public static class EnhancementCatalog
{
    /// <summary>Enhances pictures taken in low light with a model that exists already.</summary>
    /// <param name="catalog">The transforms catalog.</param>
    /// <param name="options">The model, the column of pictures and how their size is fitted to the model's.</param>
    public static LowLightEnhancementEstimator EnhanceLowLight(
        this TransformsCatalog catalog, LowLightEnhancementEstimator.Options options) => new(catalog.GetEnvironment(), options);

    /// <summary>Learns to enhance pictures taken in low light, from pictures of normal light only.</summary>
    /// <param name="catalog">The transforms catalog.</param>
    /// <param name="options">The column of pictures, the nets and how they are trained.</param>
    public static TroubleMakerTrainer EnhanceLowLight(this TransformsCatalog catalog, TroubleMakerTrainer.Options options) =>
        new(catalog.GetEnvironment(), options);
}
