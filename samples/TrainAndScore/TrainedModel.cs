using Microsoft.ML;
using Samples.Data;

namespace TrainAndScore;

/// <summary>The model beside this program, which samples/FashionMnist trained on all of Fashion-MNIST: it scores without training.</summary>
internal static class TrainedModel
{
    private static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "fashion-mnist-model");

    public static ModelCard Card => ModelCard.Load(Path.Combine(Folder, "card.json"));

    /// <summary>The model for rows of <see cref="LabelledPicture"/>.</summary>
    public static ITransformer Load(MLContext context, IDataView pictures)
    {
        var model = context.Model.Load(Path.Combine(Folder, "model.zip"), out _);
        return context.Transforms.CopyColumns("Image", nameof(LabelledPicture.ImagePath)).Fit(pictures).Append(model);
    }
}
