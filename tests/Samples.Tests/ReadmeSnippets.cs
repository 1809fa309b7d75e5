using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Attention.Vision;

namespace Samples.Tests;

/// <summary>The C# of README.md, compiled. <see cref="ReadmeTests"/> holds the two equal.</summary>
internal static class ReadmeSnippets
{
    public static void Train(MLContext context, IDataView train, IDataView test)
    {
        #region snippet
        var pipeline = context.Transforms.Conversion.MapValueToKey("Label")
            .Append(context.MulticlassClassification.Trainers.ImageAttention(new ImageAttentionTrainer.Options
            {
                ImageColumnName = "ImagePath",
                Architecture = ImageClassifiers.Find("biformer_tiny"), // or ModelFile = "any-classifier.onnx"
                PretrainedWeights = "biformer_tiny.pth",
                LayerDecay = 0.75f,
                Augmentation = ImageAugmentation.ImageNetStrong,
                Mixing = Mixing.Usual,
                ValidationFraction = 0.1,
                Patience = 5,
                CheckpointFolder = "checkpoints",
                EpochCount = 50,
            }));
        var model = pipeline.Fit(train);
        Console.WriteLine(context.MulticlassClassification.Evaluate(model.Transform(test)).MicroAccuracy);
        context.Model.Save(model, train.Schema, "classifier.zip");
        #endregion
    }

    public static ITransformer Load(MLContext context)
    {
        #region snippet
        var model = context.Model.Load("classifier.zip", out var schema, ExecutionProvider.Cpu)
            .WithScoringOptions(scoring => scoring with { BatchSize = 32, BadInput = BadInput.ScoreAsMissing, ErrorColumnName = "Error" });
        #endregion
        return model;
    }

    public static void Export()
    {
        #region snippet
        BiFormer.Build(BiFormer.Variants["biformer_tiny"], Checkpoint.Load("biformer_tiny.safetensors")).Save("biformer_tiny.onnx");
        #endregion
    }

    public static object Score(MLContext context)
    {
        #region snippet
        var images = context.Transforms.ScoreImages(new ImageScoringEstimator.Options
        {
            ModelFile = "biformer_tiny.onnx",
            ImageColumnName = "ImagePath",
            Preprocessing = ImagePreprocessing.ImageNet(224),
            Labels = File.ReadAllLines("classes.txt"),
        });
        var numbers = context.Transforms.ScoreOnnx("model.onnx");
        #endregion
        return (images, numbers);
    }

    public static void Detect(MLContext context)
    {
        #region snippet
        var pictures = context.Data.LoadAnnotations(CocoAnnotations.Read("instances_train.json", "train"));
        var detector = context.MulticlassClassification.Trainers.ObjectDetectionAttention(new ObjectDetectionAttentionTrainer.Options
        {
            Architecture = PlainDetr.Variants["plain_detr_nano"],
            EpochCount = 300,
        }).Fit(pictures);
        var held = context.Data.LoadAnnotations(CocoAnnotations.Read("instances_val.json", "val"));
        Console.WriteLine(context.MulticlassClassification.EvaluateDetections(detector.Transform(held)));
        context.Model.Save(detector, pictures.Schema, "detector.zip");
        #endregion
    }

    public static IDataView Enhance(MLContext context, IDataView photos, IDataView darkPhotos)
    {
        #region snippet
        var enhancer = context.Transforms.EnhanceLowLight(new TroubleMakerTrainer.Options
        {
            ImageColumnName = "ImagePath",
            Predict = Ugdc.Variants["ugdc"],
            Enhance = Ugdc.Variants["ugdc_enhance"],
            EpochCount = 40,
        }).Fit(photos);
        var enhanced = enhancer.Transform(darkPhotos); // a column Enhanced of MLImage
        #endregion
        return enhanced;
    }

    public static IDataView Tell(MLContext context, IDataView lines)
    {
        #region snippet
        var told = context.Transforms.GenerateStory("models/sdxl", new StoryEstimator.Options
        {
            Characters = "[Bob] a man in a black suit\n[Alice] a woman in a white shirt",
            Columns = new() { Prompt = "Line", Story = "Title" },
            Story = new() { Seed = 7, StepCount = 35, Layout = StoryLayout.Classic },
        }).Fit(lines).Transform(lines); // columns Picture, Caption and Page
        #endregion
        return told;
    }
}
