using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Vision;

namespace DetectObjects;

/// <summary>A small Plain DETR for cells: pictures of a microscope have no upside, and cells of one kind have about one size.</summary>
internal static class CellDetector
{
    public static ObjectDetectionTransformer Train(
        MLContext context, IDataView pictures, int epochCount, TimeSpan? timeLimit, int batchSize, float learningRate, ExecutionProvider provider,
        IProgress<DetectionEpoch> progress) =>
        context.MulticlassClassification.Trainers.ObjectDetectionAttention(new()
        {
            Architecture = PlainDetr.Variants["plain_detr_nano"],
            Preprocessing = new() { ShorterSide = 384, LongerSide = 512 },
            TrainingHeight = 384,
            TrainingWidth = 512,
            Augmentation = new() { VerticalFlip = 0.5f },
            EpochCount = epochCount,
            TimeLimit = timeLimit,
            BatchSize = batchSize,
            LearningRate = learningRate,
            WeightAveraging = 0.998f,
            Seed = 1,
            Scoring = new() { BatchSize = 1, Session = new() { ExecutionProvider = provider } },
            Progress = progress,
        }).Fit(pictures);
}

/// <summary>Writes a line now and then.</summary>
internal sealed class EpochLines(Action<string> write) : IProgress<DetectionEpoch>
{
    public void Report(DetectionEpoch value)
    {
        if (value.Epoch <= 3 || value.Epoch % 10 == 0)
            write(value.ToString());
    }
}
